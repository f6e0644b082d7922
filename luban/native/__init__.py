"""Kernels in C++: `tensors` for what PyTorch is slow at on a CPU, `text` for what Python is slow at."""
