"""What is computed: pure functions on arrays and bytes. No pyspark, no I/O but the bytes in hand."""
