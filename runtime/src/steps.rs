//! Names for the durable steps of a program, so that crash tests can stop it at each.

use std::{fmt, sync::Arc};

/// An observer of durable steps. Code calls [`Steps::at`] right after something has
/// become durable and before the next thing does; a crash test kills the process there.
#[derive(Clone)]
pub struct Steps(Option<Arc<dyn Fn(&'static str) + Send + Sync>>);

impl Steps {
    /// Observes nothing: what programs use outside of crash tests.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Calls `observer` with the name of every step, on the thread that takes it.
    pub fn observe(observer: impl Fn(&'static str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(observer)))
    }

    /// Reports that the program is at the step `name`.
    pub fn at(&self, name: &'static str) {
        if let Some(observer) = &self.0 {
            observer(name);
        }
    }
}

impl Default for Steps {
    fn default() -> Self {
        Self::none()
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Steps(observed)" } else { "Steps(none)" })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn an_observer_sees_the_steps_in_order() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let steps = Steps::observe(move |name| sink.lock().unwrap().push(name));
        steps.at("reserved");
        steps.clone().at("provisioned");
        Steps::none().at("nobody looks");
        assert_eq!(*seen.lock().unwrap(), ["reserved", "provisioned"]);
    }
}
