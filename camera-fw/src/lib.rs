pub mod capture;
pub mod encoder;
pub mod fanout;
pub mod frame;
pub mod pipeline;
