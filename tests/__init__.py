"""The tests mirror the folders; they go over real wires wherever there is one."""
