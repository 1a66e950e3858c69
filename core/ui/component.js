// What the components share; their own scripts follow in the same file.

const QUIET_MS = 300; // keys, ticks and announcements are passed on after a pause of this length

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** A function that calls `act` once, after it has not been called for a while; `cancel()` forgets the call. */
function whenQuiet(act) {
  let timer;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(act, QUIET_MS);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}

