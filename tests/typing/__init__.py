"""What type checkers make of programs that use Chez."""
