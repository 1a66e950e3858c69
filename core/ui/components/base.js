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

/**
 * A list of answers that only grows, so that none is lost when several are given before Python looks. `tell` is
 * called at once with `{visit, answers}`; Python knows by the visit how many of them it has heard.
 */
function answerSheet(tell) {
  const visit = Math.random().toString(36).slice(2);
  const answers = [];
  const put = (id, answer) => {
    answers.push([id, answer]);
    tell({ visit, answers: [...answers] });
  };
  return { put, visit, answers };
}

