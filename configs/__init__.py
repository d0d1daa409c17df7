"""The configurations of the shipped models: one YAML file each."""
