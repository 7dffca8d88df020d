//! Who else can read this process's memory, where keys and tokens pass through.
//!
//! What is freed is overwritten by the allocator of the binary, see `main.rs`.

use rustix::io::Result;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Leaves no core dump, and lets no other process of this user attach or read.
pub fn keep_private() -> Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
