"""The paper's set-ups from one simulated sample, and the page that puts their figures beside the paper's."""
