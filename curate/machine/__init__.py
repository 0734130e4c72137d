"""The machine: device, threads, memory."""
