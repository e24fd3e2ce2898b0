//! The kit itself: the model passes, and drivers that lie are caught.

mod bent;
mod crashes;
mod ends;
mod model;
mod moves;
mod mutant;
mod mutants;
mod program;
mod served;
