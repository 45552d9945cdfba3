//! Does one case of the benchmarks so many times, for a tool that counts instructions.
//!
//! ```text
//! cargo run --release -p cloudsignal-broker --example count -- [CASE CALLS]
//! ```
//! Without arguments it lists the cases, each with the units of one call. `cargo xtask instructions` uses both.
#![expect(clippy::print_stdout, reason = "it lists the cases")]

#[path = "../benches/cases/mod.rs"]
mod cases;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, calls] = &*args else {
        return cases::all()
            .iter()
            .for_each(|case| println!("{} {}", case.name, case.units));
    };
    let cases = cases::all();
    let case = cases
        .iter()
        .find(|case| case.name == name)
        .expect("one of the cases");
    let calls: u32 = calls.parse().expect("a number of calls");
    let mut work = (case.prepare)();
    (0..calls).for_each(|_| work());
}
