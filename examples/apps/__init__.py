"""Three small applications that cross what came home from different places."""
