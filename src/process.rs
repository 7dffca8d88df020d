//! What the process asks of the kernel, for itself.

use rustix::io::Result;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Leaves no core dump, and lets no other process of this user attach or read: keys and tokens pass through its memory.
///
/// What is freed is overwritten by the allocator of the binary, see `main.rs`.
pub fn keep_memory_private() -> Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Allows itself as many open files as the system lets it. Many start with 1,024, for the sake of programs that use
/// `select`; the port for requests alone may have as many connections.
pub fn allow_many_files() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limit)
}
