//! The module `fanout._core`: a table of names, and nothing else. `src/fanout/_core.pyi` describes them.

/// The docstring that the stub, `_core.pyi`, has of a class, a method or a function.
macro_rules! doc {
    ($name:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/docstrings/", $name))
    };
}

mod answers;
mod arguments;
mod batch;
mod clock;
mod config;
mod deliveries;
mod engine;
mod errors;
mod functions;
mod gil;
mod hub;
mod lists;
mod log_cache;
mod mismatch;
mod names;
mod repr;
mod stored;
mod wire;

use mimalloc::MiMalloc;
use pyo3::prelude::*;

// This allocator uses huge pages: a login touches rows all over the table, and with small pages the address translation
// of a row costs as much as reading it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The Rust core: the routing engine, batches, and the bytes of frames.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("source_digest", env!("FANOUT_SOURCE_DIGEST"))?;
    module.add_class::<engine::Engine>()?;
    module.add_class::<clock::ManualClock>()?;
    module.add_class::<hub::Hub>()?;
    module.add_class::<log_cache::LogCache>()?;
    module.add_class::<deliveries::Deliveries>()?;
    module.add_class::<deliveries::DeliveryBuffer>()?;
    module.add_class::<deliveries::Splitter>()?;
    module.add_class::<batch::InboundBatch>()?;
    module.add_class::<batch::LaneProgress>()?;
    module.add_class::<batch::BatchEvent>()?;
    module.add_function(wrap_pyfunction!(batch::decode_batch, module)?)?;
    module.add_function(wrap_pyfunction!(functions::check_event, module)?)?;
    module.add_function(wrap_pyfunction!(functions::client_event, module)?)?;
    module.add_function(wrap_pyfunction!(functions::message_frame, module)?)?;
    module.add_function(wrap_pyfunction!(functions::partition_of, module)?)?;
    module.add_function(wrap_pyfunction!(functions::presence_digest, module)?)?;
    module.add_function(wrap_pyfunction!(functions::text_frame, module)?)
}
