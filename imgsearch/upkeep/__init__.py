"""Care of a warehouse; the job `drop`."""
