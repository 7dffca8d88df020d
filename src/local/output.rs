//! Standard output that never blocks: a terminal that is stopped by Ctrl-S, or a reader that no longer reads,
//! must not let the token run out.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Writes that may wait. Later ones are lost.
const WAITING: usize = 256;
/// How long the end of the process waits for what is not written yet.
const AT_THE_END: Duration = Duration::from_secs(1);

pub(super) struct Output {
    /// `None` at the end.
    texts: Option<SyncSender<Vec<u8>>>,
    ended: Receiver<()>,
}

impl Output {
    /// Writes to `out` in a thread of its own.
    pub(super) fn to(mut out: impl Write + Send + 'static) -> Self {
        let (texts, to_write) = sync_channel::<Vec<u8>>(WAITING);
        let (end, ended) = sync_channel(1);
        std::thread::spawn(move || {
            for text in to_write {
                // A reader that went away is no reason to let the token run out.
                let _ = out.write_all(&text).and_then(|()| out.flush());
            }
            let _ = end.send(());
        });
        Self {
            texts: Some(texts),
            ended,
        }
    }
}

impl Write for Output {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if let Some(texts) = &self.texts {
            let _ = texts.try_send(text.to_vec());
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.texts = None;
        let _ = self.ended.recv_timeout(AT_THE_END);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn a_reader_that_does_not_read_holds_up_nobody_and_what_was_written_arrives() {
        struct Stopped(Receiver<()>, Arc<Mutex<Vec<u8>>>);
        impl Write for Stopped {
            fn write(&mut self, text: &[u8]) -> io::Result<usize> {
                self.0.recv().unwrap();
                self.1.lock().extend_from_slice(text);
                Ok(text.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (go_on, stopped) = channel();
        let written = Arc::default();
        let mut output = Output::to(Stopped(stopped, Arc::clone(&written)));
        for _ in 0..2 * WAITING {
            output.write_all(b"x").unwrap();
        }
        assert_eq!(written.lock().len(), 0);
        for _ in 0..2 * WAITING {
            go_on.send(()).unwrap();
        }
        drop(output);
        let arrived = written.lock().len();
        assert!((WAITING..=WAITING + 1).contains(&arrived), "{arrived}");
    }
}
