//! What WebAssembly has instead of an operating system: memory, and a last word when the machine has a fault.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use wasm_bindgen::prelude::wasm_bindgen;

#[global_allocator]
static MEMORY: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

/// Where the last fault was: address and bytes of the file's name, and the line. All 0: there was none.
static PLACE: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];

/// Where JavaScript finds the place of a fault, three `u32`, once a call has ended in a trap.
#[wasm_bindgen]
pub fn fault_place() -> u32 {
    PLACE.as_ptr().addr() as u32
}

/// Notes the place and traps. The message would bring the whole of formatting with it.
#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    if let Some(place) = info.location() {
        let words = [
            place.file().as_ptr().addr(),
            place.file().len(),
            place.line() as usize,
        ];
        for (noted, word) in PLACE.iter().zip(words) {
            noted.store(word, Ordering::Relaxed);
        }
    }
    core::arch::wasm32::unreachable()
}
