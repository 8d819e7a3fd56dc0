"""The benchmark card: every model under every protocol, side by side, from the result files alone."""
