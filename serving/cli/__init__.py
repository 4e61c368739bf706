"""Groups of commands, one file a subject, that the roof puts together."""
