"""Simulated jets to train and test on."""
