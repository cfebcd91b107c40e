//! A Polar that misbehaves in every way it, a proxy or a network can, in an order that a seed decides: nothing is lost,
//! and nothing counts twice.

mod answer;
mod deaf;
mod deck;
mod front;
mod life;
mod other_doors;
mod play;
mod suite;
mod wall;
