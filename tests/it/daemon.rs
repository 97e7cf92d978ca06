//! The daemon, with a clock that the tests own: what it runs when, and that no end of it makes a date missed or doubled.

mod browser;
mod clocks;
mod ends;
mod inputs;
mod pages;
mod reload;
