//! Command-line definitions of the programs.
