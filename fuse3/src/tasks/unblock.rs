use std::future::pending;
use std::panic::resume_unwind;

/// Runs `f`, which may block, on a thread for that, and waits for it: `tokio::task::spawn_blocking()`, trio's
/// `to_thread.run_sync`.
///
/// For everything that would keep a thread of the runtime waiting: files, locks of threads, the
/// [global lock](crate::GlobalLock) where it may be held for long, [notifications that wait](crate::notify::Blocking). A panic of `f`
/// is one of the future. `f` itself cannot be stopped: when the future is dropped, it runs to its end, and what it returns is
/// dropped.
///
/// ```
/// # use fuse3::Answer;
/// # use fuse3::tasks::unblock;
/// async fn sum(path: std::path::PathBuf) -> Answer<usize> {
///     let bytes = unblock(|| std::fs::read(path)).await?;
///     Ok(bytes.iter().map(|byte| usize::from(*byte)).sum())
/// }
/// ```
///
/// # Panics
///
/// When `f` does, and outside of tokio.
pub async fn unblock<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    match tokio::task::spawn_blocking(f).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(payload) => resume_unwind(payload),
            // The runtime is being shut down, and does not poll futures any more.
            Err(_) => pending().await,
        },
    }
}
