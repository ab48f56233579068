"""A model of one's own: generic jets learned by OmniLearned's PET2, measured, and exported with a card."""
