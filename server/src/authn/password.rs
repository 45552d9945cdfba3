//! Password hashing (argon2id) on a few threads of its own.
//!
//! One hash takes tens of milliseconds and 19 MiB, which its thread keeps until it has had nothing to do for a second or
//! two. A flood of logins therefore waits here, in a bounded line, and traffic goes on; what does not fit is refused as
//! busy.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use argon2::password_hash::{self, Output, ParamsString, PasswordHash, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::accounts::secret::random;

/// What a hash costs. The OWASP recommendation for argon2id with the least memory that resists GPUs.
pub const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over the memory.
pub const PASSES: u32 = 2;
/// Lanes; one, because each hash has one thread.
pub const LANES: u32 = 1;
/// Passwords that may wait for a thread. At 30 ms each and two threads the last one waits 4 s.
pub const QUEUE_MAX: usize = 256;
/// Most threads of a pool.
pub const THREADS_MAX: usize = 16;
/// A thread without work for so long gives its memory back.
const IDLE_TIME_MAX: Duration = Duration::from_secs(1);

/// What one hash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCost {
    /// Memory, KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl HashCost {
    /// [`MEMORY_KIB`] and [`PASSES`].
    pub const OWASP: Self = Self {
        memory_kib: MEMORY_KIB,
        passes: PASSES,
    };
    /// The least that argon2 accepts: for tests about something else.
    #[cfg(test)]
    pub(crate) const LEAST: Self = Self {
        memory_kib: 8,
        passes: 1,
    };
}

/// The line before the pool is full. Try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords wait to be checked")]
pub struct PoolBusy;

/// A password that goes to another thread. Its bytes are overwritten when it is dropped.
struct Candidate(Box<[u8]>);

impl Drop for Candidate {
    fn drop(&mut self) {
        self.0.fill(0);
    }
}

enum Job {
    Hash {
        password: Candidate,
        reply: oneshot::Sender<Option<Box<str>>>,
    },
    /// Without a hash to compare with, the work is done all the same and the answer is no.
    Verify {
        password: Candidate,
        hash: Option<Arc<str>>,
        reply: oneshot::Sender<bool>,
    },
}

/// Hashes and checks passwords. Cheap to clone; the threads end with the last clone.
#[derive(Clone)]
pub struct PasswordPool {
    queue: SyncSender<Job>,
}

impl PasswordPool {
    /// Starts `threads` threads (1 to [`THREADS_MAX`]) that hash at `cost`.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(cost: HashCost, threads: usize) -> std::io::Result<Self> {
        let params = Params::new(cost.memory_kib, cost.passes, LANES, None)
            .map_err(|error| std::io::Error::other(error.to_string()))?;
        let (queue, jobs) = sync_channel(QUEUE_MAX);
        let jobs = Arc::new(Mutex::new(jobs));
        let unknown = Workbench::new(params.clone())
            .hash(b"nobody's password")
            .ok_or_else(|| std::io::Error::other("argon2 does not accept its own parameters"))?;
        for number in 0..threads.clamp(1, THREADS_MAX) {
            let (jobs, params, unknown) = (Arc::clone(&jobs), params.clone(), unknown.clone());
            std::thread::Builder::new()
                .name(format!("password-{number}"))
                .spawn(move || work(&jobs, Workbench::new(params), &unknown))?;
        }
        Ok(Self { queue })
    }

    /// The hash to store of a password, in PHC form.
    ///
    /// # Errors
    /// [`PoolBusy`]
    pub async fn hash(&self, password: &[u8]) -> Result<Box<str>, PoolBusy> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Hash {
            password: Candidate(password.into()),
            reply,
        })?;
        answer.await.ok().flatten().ok_or(PoolBusy)
    }

    /// Whether `password` is the one behind `hash`. Without a hash (an unknown user) it costs the same
    /// and the answer is no.
    ///
    /// # Errors
    /// [`PoolBusy`]
    pub async fn verify(&self, password: &[u8], hash: Option<Arc<str>>) -> Result<bool, PoolBusy> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Verify {
            password: Candidate(password.into()),
            hash,
            reply,
        })?;
        answer.await.map_err(|_closed| PoolBusy)
    }

    fn send(&self, job: Job) -> Result<(), PoolBusy> {
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => PoolBusy,
        })
    }
}

impl fmt::Debug for PasswordPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordPool")
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, mut bench: Workbench, unknown: &str) {
    loop {
        let patience = bench.is_used().then_some(IDLE_TIME_MAX);
        match next(jobs, patience) {
            Ok(job) => bench.work(job, unknown),
            Err(RecvTimeoutError::Timeout) => bench.tidy(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Waits for a job, with `patience` only so long, or twice that.
fn next(jobs: &Mutex<Receiver<Job>>, patience: Option<Duration>) -> Result<Job, RecvTimeoutError> {
    let Some(patience) = patience else {
        return Ok(jobs.lock().recv()?);
    };
    // Of the threads that wait one has the lock and waits for a job; the others wait for the lock.
    let jobs = jobs.try_lock_for(patience).ok_or(RecvTimeoutError::Timeout)?;
    jobs.recv_timeout(patience)
}

/// What one thread hashes with. Its memory stays from one password to the next: 19 MiB that are given back and asked for
/// again each time leave holes in the process, which a flood of logins adds up to hundreds.
struct Workbench {
    params: Params,
    memory: Vec<Block>,
}

impl Workbench {
    fn new(params: Params) -> Self {
        Self {
            params,
            memory: Vec::new(),
        }
    }

    fn work(&mut self, job: Job, unknown: &str) {
        // Whoever gave up waiting needs no answer, and the work is not worth doing.
        match job {
            Job::Hash { reply, .. } if reply.is_closed() => {}
            Job::Verify { reply, .. } if reply.is_closed() => {}
            Job::Hash { password, reply } => _ = reply.send(self.hash(&password.0)),
            Job::Verify {
                password,
                hash: Some(hash),
                reply,
            } => {
                _ = reply.send(self.verify(&password.0, &hash));
            }
            Job::Verify {
                password,
                hash: None,
                reply,
            } => {
                self.verify(&password.0, unknown);
                _ = reply.send(false);
            }
        }
    }

    const fn is_used(&self) -> bool {
        !self.memory.is_empty()
    }

    /// Gives the memory back.
    fn tidy(&mut self) {
        self.memory = Vec::new();
    }

    fn hash(&mut self, password: &[u8]) -> Option<Box<str>> {
        let salt = SaltString::encode_b64(&random::<16>()).ok()?;
        let (algorithm, version) = (Algorithm::Argon2id, Version::V0x13);
        let params = self.params.clone();
        let hash = PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: ParamsString::try_from(&params).ok()?,
            salt: Some(salt.as_salt()),
            hash: Some(
                self.output(password, algorithm, version, params, salt.as_salt())
                    .ok()?,
            ),
        };
        Some(hash.to_string().into())
    }

    /// The costs are read from the hash, so hashes made at other costs stay good.
    fn verify(&mut self, password: &[u8], hash: &str) -> bool {
        PasswordHash::new(hash).is_ok_and(|hash| self.matches(password, &hash).unwrap_or(false))
    }

    fn matches(&mut self, password: &[u8], hash: &PasswordHash<'_>) -> password_hash::Result<bool> {
        let (Some(salt), Some(expected)) = (hash.salt, hash.hash) else {
            return Ok(false);
        };
        let algorithm = Algorithm::try_from(hash.algorithm)?;
        let version = hash.version.map_or(Ok(Version::default()), Version::try_from)?;
        let output = self.output(password, algorithm, version, Params::try_from(hash)?, salt)?;
        // `Output` compares in constant time.
        Ok(output == expected)
    }

    fn output(
        &mut self,
        password: &[u8],
        algorithm: Algorithm,
        version: Version,
        params: Params,
        salt: password_hash::Salt<'_>,
    ) -> password_hash::Result<Output> {
        let mut salt_bytes = [0; password_hash::Salt::MAX_LENGTH];
        let salt_bytes = salt.decode_b64(&mut salt_bytes)?;
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        if self.memory.len() < params.block_count() {
            self.memory = vec![Block::default(); params.block_count()];
        }
        let memory = &mut self.memory[..params.block_count()];
        let argon2 = Argon2::new(algorithm, version, params);
        Output::init_with(length, |out| {
            Ok(argon2.hash_password_into_with_memory(password, salt_bytes, out, memory)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> PasswordPool {
        PasswordPool::start(HashCost::LEAST, 2).unwrap()
    }

    #[tokio::test]
    async fn only_the_right_password_verifies() {
        let pool = pool();
        let hash: Arc<str> = pool.hash(b"correct horse").await.unwrap().into();
        assert!(hash.starts_with("$argon2id$"));
        assert!(
            pool.verify(b"correct horse", Some(Arc::clone(&hash)))
                .await
                .unwrap()
        );
        for wrong in [&b"Correct horse"[..], b"", b"correct horse "] {
            assert!(!pool.verify(wrong, Some(Arc::clone(&hash))).await.unwrap());
        }
        assert_ne!(*pool.hash(b"correct horse").await.unwrap(), *hash, "salted");
    }

    #[tokio::test]
    async fn nobody_and_nonsense_never_verify() {
        let pool = pool();
        assert!(!pool.verify(b"nobody's password", None).await.unwrap());
        assert!(!pool.verify(b"x", Some("not a hash".into())).await.unwrap());
    }

    #[tokio::test]
    async fn hashes_made_at_another_cost_stay_good() {
        let dear = PasswordPool::start(
            HashCost {
                memory_kib: 64,
                passes: 3,
            },
            1,
        )
        .unwrap();
        let hash: Arc<str> = dear.hash(b"secret").await.unwrap().into();
        assert!(pool().verify(b"secret", Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn what_is_stored_has_the_recommended_cost() {
        let pool = PasswordPool::start(HashCost::OWASP, 1).unwrap();
        let hash = pool.hash(b"secret").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    }

    #[test]
    fn the_memory_stays_while_there_is_work_and_not_longer() {
        let (queue, jobs) = sync_channel(1);
        let jobs = Mutex::new(jobs);
        let mut bench = Workbench::new(Params::new(8, 1, LANES, None).unwrap());
        let (reply, mut answer) = oneshot::channel();
        let password = Candidate(b"secret".as_slice().into());
        queue.send(Job::Hash { password, reply }).unwrap();
        bench.work(next(&jobs, Some(IDLE_TIME_MAX)).ok().unwrap(), "");
        assert!(answer.try_recv().unwrap().is_some());
        assert!(bench.is_used(), "for the next one");

        let at_once = Some(Duration::ZERO);
        assert_eq!(next(&jobs, at_once).err(), Some(RecvTimeoutError::Timeout));
        let another_waits = jobs.lock();
        assert_eq!(next(&jobs, at_once).err(), Some(RecvTimeoutError::Timeout));
        drop(another_waits);
        bench.tidy();
        assert!(!bench.is_used());

        drop(queue);
        assert_eq!(next(&jobs, at_once).err(), Some(RecvTimeoutError::Disconnected));
        assert_eq!(next(&jobs, None).err(), Some(RecvTimeoutError::Disconnected));
    }

    #[tokio::test]
    async fn a_full_line_is_refused_at_once() {
        // No thread takes jobs here, so the line only fills.
        let (queue, _jobs) = sync_channel(1);
        let pool = PasswordPool { queue };
        let (reply, _waiting) = oneshot::channel();
        pool.send(Job::Verify {
            password: Candidate([].into()),
            hash: None,
            reply,
        })
        .unwrap();
        assert_eq!(pool.verify(b"x", None).await, Err(PoolBusy));
        assert_eq!(pool.hash(b"x").await, Err(PoolBusy));
    }
}
