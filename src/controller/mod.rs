//! The controller.

pub mod assignment;
pub mod election;
mod requests;
pub mod state;

pub use requests::ControlRequest;
