"""Recipes that make their own examples: what an LSTM can learn where the answer is known."""
