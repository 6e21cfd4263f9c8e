"""From a project file to one startup kit a participant."""
