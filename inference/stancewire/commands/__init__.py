"""The commands of the command line, by what they are for: thin shells around functions of the packages."""
