"""Our own kernels for CPUs with a bfloat16 matrix unit (AMX): convolution, and batch norm with ReLU."""
