//! Lines of bounded length from a stream that may end or misbehave anywhere.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// More bytes than allowed without a line end.
    #[error("a line is longer than {0} bytes")]
    TooLong(usize),
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads lines of at most `max` bytes.
#[derive(Debug)]
pub struct LineReader<R> {
    inner: BufReader<R>,
    line: Vec<u8>,
    complete: bool,
    max: usize,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// A reader of lines of at most `max` bytes, line end not counted.
    pub fn new(inner: R, max: usize) -> Self {
        Self { inner: BufReader::new(inner), line: Vec::new(), complete: false, max }
    }

    /// The next line without its end, or `None` where the stream ended; a last line without an end counts as one.
    /// Cancel safe: what was read of an unfinished line stays.
    ///
    /// # Errors
    /// [`LineError`]; the stream is of no use afterwards.
    pub async fn next(&mut self) -> Result<Option<&[u8]>, LineError> {
        if self.complete {
            self.complete = false;
            self.line.clear();
            self.line.shrink_to(8 * 1024);
        }
        loop {
            let chunk = self.inner.fill_buf().await?;
            if chunk.is_empty() {
                self.complete = true;
                return Ok((!self.line.is_empty()).then_some(self.line.as_slice()));
            }
            let (part, used, ended) = match chunk.iter().position(|&b| b == b'\n') {
                Some(at) => (chunk.get(..at).unwrap_or_default(), at.saturating_add(1), true),
                None => (chunk, chunk.len(), false),
            };
            if self.line.len().saturating_add(part.len()) > self.max {
                return Err(LineError::TooLong(self.max));
            }
            self.line.extend_from_slice(part);
            self.inner.consume(used);
            if ended {
                if self.line.last() == Some(&b'\r') {
                    self.line.pop();
                }
                self.complete = true;
                return Ok(Some(self.line.as_slice()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_end_at_line_ends_and_at_the_end() {
        let mut r = LineReader::new(&b"one\r\n\ntwo"[..], 5);
        assert_eq!(r.next().await.unwrap(), Some(&b"one"[..]));
        assert_eq!(r.next().await.unwrap(), Some(&b""[..]));
        assert_eq!(r.next().await.unwrap(), Some(&b"two"[..]));
        assert_eq!(r.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_long_line_is_refused_before_it_is_held() {
        let mut r = LineReader::new(tokio::io::repeat(b'x'), 100_000);
        assert!(matches!(r.next().await, Err(LineError::TooLong(100_000))));
        let mut r = LineReader::new(&b"12345\n123456\n"[..], 5);
        assert_eq!(r.next().await.unwrap(), Some(&b"12345"[..]));
        assert!(matches!(r.next().await, Err(LineError::TooLong(5))));
    }
}
