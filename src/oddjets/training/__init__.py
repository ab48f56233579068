"""From an OmniLearned checkpoint to a model that scores: export to ONNX, and how exact the result is."""
