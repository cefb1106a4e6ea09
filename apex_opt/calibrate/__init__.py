"""From measured kernels to the numbers of a device: read, fit, cross-validate, write."""
