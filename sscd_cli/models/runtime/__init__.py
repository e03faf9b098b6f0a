"""Where and how a network runs: devices, precision, kernels."""
