"""Training an SSCD network: views, loss, loop."""
