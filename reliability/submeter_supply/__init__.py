"""Where what is installed comes from: locks by hash, an audit of them, a bill of materials."""
