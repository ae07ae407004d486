"""What is measured: each module runs in a process of its own, by `benchmarks.apart`."""
