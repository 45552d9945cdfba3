//! What an operator has around the store: a look into it, damaged files, formats, by the real program.

mod backup;
mod damage;
mod device;
mod format;
mod inspect;
mod levels;
mod operator;
