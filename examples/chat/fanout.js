/**
 * A browser's side of Fanout's WebSocket protocol, without dependencies: the same rules as `fanout.client` in Python
 * (docs/client.md). It connects where `realtime.connect` says, sends heartbeats, connects again after an interruption,
 * resumes where it was, drops repeats, and says what was missed.
 *
 *     const client = new FanoutClient({ gateway: "https://chat.example", token: fetchToken, deviceId, onEvent: show });
 *     client.start();
 *
 * `onEvent` gets the frames of the server as objects (docs/protocol.md), and the client's own events:
 *
 *     { type: "disconnected", reason, code, retryInMs }    the client connects again by itself
 *     { type: "resume.dropped", point, attempts }          everything since the point may be missed
 *     { type: "ended", reason, code }                      the client does not connect again
 *     { type: "state", state }                             this device is active, idle or in the background
 */

const CONNECT_WITHIN_MS = 10_000;
const AUTH_WITHIN_MS = 30_000;
const ANSWER_WITHIN_MS = 10_000;
const IDLE_AFTER_MS = 60_000;
const REPEAT_AFTER_MS = 2_000;
const TYPING_EVERY_MS = 3_000;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;
const LONGEST_WAIT_MS = 300_000;
const RESUME_ATTEMPTS = 3;

const UNAUTHENTICATED = 4401;
const FINAL = { 4400: "the server cannot read a frame of this client", 4409: "the device was replaced or deregistered" };
/** Close codes that come before `auth.ok` also to clients that do not resume. */
const NOT_OF_THE_RESUME = new Set([1006, 1012, 1013, UNAUTHENTICATED]);
const WORTH_REPEATING = new Set(["unavailable", "outcome_unknown"]);
const DRAFT_FRAMES = new Set(["draft.saved", "draft.load", "sync.draft"]);
const LATER_TIERS = new Set(["catchup", "unread.counts", "full_refresh_required"]);

/** A fresh device id: make it once for an installation, and keep it. */
export function newDeviceId(platform = "web") {
  return `dev_${platform}_${crypto.randomUUID()}`;
}

/** Follows the events of a client, and knows the point at which it would resume. */
class Position {
  constructor(point) {
    this.isCatchingUp = false;
    this.#known = Boolean(point);
    this.#start(point ?? { seq: 0 });
  }

  #known;
  #seq;
  #parts;
  #log;
  #ahead;
  #liveFrom = null;
  #inOrder = true;

  get point() {
    if (!this.#known) return null;
    const parts = [...this.#parts].filter(([, seq]) => seq > this.#seq);
    return { seq: this.#seq, parts: Object.fromEntries(parts), log: this.#log, ahead: Object.fromEntries(this.#ahead) };
  }

  see(event) {
    if (event.type === "message.new" || event.type === "thread.reply") this.#seeMessage(event);
    else if (event.type === "heartbeat.ok") this.#seq = Math.max(this.#seq, event.seq);
    else if (event.type === "auth.ok") this.#welcome(event);
    else if (LATER_TIERS.has(event.type)) this.#seeLaterTier(event);
    else if (event.type === "catchup.complete") this.#complete(event.last_event_seq);
    else if (event.type === "resume.dropped") {
      this.#known = false;
      this.#start({ seq: 0 });
    }
  }

  #start({ seq, parts = {}, log, ahead = {} }) {
    [this.#seq, this.#parts, this.#log, this.#ahead] = [seq, mapOf(parts), log, mapOf(ahead)];
  }

  #seeMessage({ channel_id: channel, part, seq }) {
    if (this.#inOrder) raise(this.#parts, String(part), seq);
    else raise(this.#ahead, channel, seq);
  }

  /** From the first frame of a later tier on, events are not in the order of the log: the point stays until the end. */
  #seeLaterTier(event) {
    this.#inOrder = !this.isCatchingUp;
    if (!this.isCatchingUp || event.type !== "catchup") return;
    for (const { channel_id: channel, messages } of event.channels) {
      for (const { seq } of messages) raise(this.#ahead, channel, seq ?? 0);
    }
  }

  #welcome(auth) {
    [this.#liveFrom, this.#inOrder, this.isCatchingUp] = [auth, true, this.#known];
    if (!this.#known && auth.seq !== undefined) this.#adopt(auth);
  }

  #complete(lastEventSeq) {
    if (this.#liveFrom?.seq !== undefined) this.#adopt(this.#liveFrom);
    this.#seq = Math.max(this.#seq, lastEventSeq);
    this.#ahead.clear();
    [this.isCatchingUp, this.#inOrder] = [false, true];
  }

  #adopt({ seq, parts = {}, log }) {
    if (!this.#inOrder) this.#start({ seq: 0 });
    [this.#known, this.#log, this.#seq] = [true, log, Math.max(this.#seq, seq)];
    for (const [part, at] of Object.entries(parts)) raise(this.#parts, part, at);
  }
}

/** Drops events that the client has already, and those that are older than what it has. */
class Newest {
  #log;
  #channels;
  #members = new Map();
  #presence = new Map();

  constructor(point) {
    this.#log = point?.log;
    this.#channels = mapOf(point?.ahead ?? {});
  }

  /** The event, or the part of it that is new; null if nothing of it is. */
  newsOf(event) {
    switch (event.type) {
      case "message.new":
      case "thread.reply":
        return raise(this.#channels, event.channel_id, event.seq) ? event : null;
      case "catchup":
        return { ...event, channels: event.channels.map((missed) => this.#newsOfChannel(missed)) };
      case "member.joined":
      case "member.left":
        return this.#isLater(this.#members, `${event.channel_id} ${event.user_id}`, event.version) ? event : null;
      case "presence.update":
        return this.#isCurrent(event) ? event : null;
      case "auth.ok":
        this.#presence.clear();
        if (event.log !== this.#log) [this.#log, this.#channels] = [event.log, new Map()];
    }
    return event;
  }

  #newsOfChannel(missed) {
    const isNews = ({ seq }) => seq === undefined || raise(this.#channels, missed.channel_id, seq);
    return { ...missed, messages: missed.messages.filter(isNews) };
  }

  #isLater(versions, about, version) {
    return !version || raise(versions, about, version);
  }

  /** Whether no later state of the user came on this connection. The same one may be asked for again. */
  #isCurrent({ user, version }) {
    return version === this.#presence.get(user) || this.#isLater(this.#presence, user, version);
  }
}

/** Frames that must arrive even if the connection breaks: the answer to the next heartbeat confirms them. */
class Outbox {
  #waiting = new Map();
  #heartbeats = 0;
  #answers = 0;
  #toRepeat = new Set();

  put(key, frame) {
    this.#waiting.set(key, { frame, confirmedBy: null });
  }

  takeUnsent() {
    const unsent = [...this.#waiting.values()].filter(({ confirmedBy }) => confirmedBy === null);
    for (const waiting of unsent) waiting.confirmedBy = this.#heartbeats + 1;
    return unsent.map(({ frame }) => frame);
  }

  noteHeartbeat() {
    this.#heartbeats += 1;
  }

  noteAnswer() {
    this.#answers += 1;
    for (const [key, waiting] of this.#waiting) {
      if (waiting.confirmedBy === null || waiting.confirmedBy > this.#answers) continue;
      if (this.#toRepeat.has(waiting.frame.type)) waiting.confirmedBy = null;
      else this.#waiting.delete(key);
    }
    this.#toRepeat.clear();
  }

  noteError({ code, offending_type: type }) {
    if (WORTH_REPEATING.has(code)) this.#toRepeat.add(type);
  }

  noteLoss() {
    [this.#heartbeats, this.#answers] = [0, 0];
    this.#toRepeat.clear();
    for (const waiting of this.#waiting.values()) waiting.confirmedBy = null;
  }
}

/**
 * Saves drafts, one edit of a channel at a time. An edit names the draft that it was made from; if there is another one by
 * now, the server refuses the edit and tells that draft. The server answers the edits of a connection in their order.
 */
class DraftBox {
  #known = new Map();
  #edits = new Map();
  #sent = new Map();
  #refused = new Map();
  #withheld = new Map();

  /** Replace the draft of a channel; `null` deletes it. */
  save(channel, content) {
    const { base = this.#known.get(channel) ?? null, earlier = [] } = this.#edits.get(channel) ?? {};
    this.#edits.set(channel, { content, base, earlier });
  }

  takeUnsent() {
    const ready = [...this.#edits.keys()].filter((channel) => !this.#sent.has(channel) && !this.#refused.has(channel));
    return ready.map((channel) => {
      const edit = this.#edits.get(channel);
      this.#edits.delete(channel);
      this.#sent.set(channel, edit);
      const fields = edit.content ?? { draft: null };
      return { type: "draft.save", channel_id: channel, base_updated_at: edit.base, ...fields };
    });
  }

  /** What the page is told of an event. While an edit is under way it is told of no other draft of the channel. */
  hear(event) {
    const { type, channel_id: channel } = event;
    if (type === "draft.saved") {
      this.#sent.delete(channel);
      this.#follow(channel, event.updated_at);
      return [event, ...this.#stillNewer(channel)];
    }
    if (type === "error" && event.offending_type === "draft.save" && this.#sent.size > 0) {
      return [event, ...this.#noteError(event.code)];
    }
    if (type === "sync.draft") return this.#noteDraft(event);
    if (type === "draft.load") {
      this.#learn(channel, event.updated_at);
      const underWay = this.#underWay(channel);
      return [underWay ? { ...event, draft: underWay.content } : event];
    }
    return [event];
  }

  /** The connection is lost: what was not answered is to be sent again, unless there is a newer edit. */
  noteLoss() {
    for (const [channel, edit] of [...this.#sent, ...this.#refused]) this.#putBack(channel, edit);
    this.#sent.clear();
    this.#refused.clear();
  }

  #underWay(channel) {
    return this.#edits.get(channel) ?? this.#sent.get(channel) ?? this.#refused.get(channel);
  }

  #learn(channel, at) {
    if ((at ?? "") > (this.#known.get(channel) ?? "")) this.#known.set(channel, at);
  }

  #noteError(code) {
    const [channel, edit] = this.#sent.entries().next().value;
    this.#sent.delete(channel);
    if (code === "draft_conflict") this.#refused.set(channel, edit);
    else if (WORTH_REPEATING.has(code)) this.#putBack(channel, edit);
    return this.#stillNewer(channel);
  }

  #noteDraft(event) {
    const channel = event.channel_id;
    const refused = this.#refused.get(channel);
    if (refused) {
      this.#refused.delete(channel);
      this.#withheld.delete(channel);
      this.#noteRefusal(event, refused);
    } else this.#learn(channel, event.updated_at);
    if (!this.#underWay(channel)) return [event];
    this.#withheld.set(channel, event);
    return [];
  }

  /** Let the next edit be made from the draft that there is if this client has saved that; else drop the edit. */
  #noteRefusal({ channel_id: channel, draft, updated_at: at }, refused) {
    if ([refused.content, ...refused.earlier].some((content) => isContent(draft, content))) {
      if (!isContent(draft, refused.content)) this.#putBack(channel, refused);
      this.#follow(channel, at || null);
    } else {
      this.#known.set(channel, at || null);
      this.#edits.delete(channel);
    }
  }

  /** The draft of which the page was not told, if no edit is under way and it is the newest one. */
  #stillNewer(channel) {
    if (this.#underWay(channel)) return [];
    const withheld = this.#withheld.get(channel);
    this.#withheld.delete(channel);
    if (!withheld || (withheld.updated_at ?? "") <= (this.#known.get(channel) ?? "")) return [];
    this.#learn(channel, withheld.updated_at);
    return [withheld];
  }

  /** The draft is what this client has saved, so its next edit was made from that. */
  #follow(channel, at) {
    this.#known.set(channel, at);
    const edit = this.#edits.get(channel);
    if (edit) Object.assign(edit, { base: at, earlier: [] });
  }

  #putBack(channel, edit) {
    const newer = this.#edits.get(channel);
    if (newer) Object.assign(newer, { base: edit.base, earlier: [...edit.earlier, edit.content] });
    else this.#edits.set(channel, edit);
  }
}

/** One device of a user, over any number of connections. */
export class FanoutClient {
  /**
   * @param {object} options
   * @param {string} options.gateway the address of the gateway.
   * @param {() => Promise<string>} options.token returns a token; called at the start, and when one was refused.
   * @param {string} options.deviceId from `newDeviceId`, kept by the page.
   * @param {(event: object) => void} options.onEvent gets every event.
   * @param {string} [options.state] what the user does at the start: `idle`, `active` or `background`.
   * @param {object} [options.resume] `resumePoint` of an earlier page.
   */
  constructor({ gateway, token, deviceId, onEvent, state = "idle", resume = null }) {
    this.#gateway = gateway.replace(/\/+$/, "");
    [this.#makeToken, this.#deviceId, this.#onEvent, this.#state] = [token, deviceId, onEvent, state];
    [this.#position, this.#newest] = [new Position(resume), new Newest(resume)];
  }

  #gateway;
  #makeToken;
  #deviceId;
  #onEvent;
  #state;
  #position;
  #newest;
  #outbox = new Outbox();
  #token = null;
  #tokenIsRenewed = false;
  #socket = null;
  #isOpen = false;
  #hasEnded = true;
  #timers = new Map();
  #failures = 0;
  #spreadMs = null;
  #resumedFrom = null;
  #failedResumes = 0;
  #focused = null;
  #watched = null;
  #drafts = new DraftBox();
  #typing = new Map();
  #heartbeatMs = 30_000;

  /** Where another page of this device can resume: everything up to there was given to `onEvent`. */
  get resumePoint() {
    return this.#position.point;
  }

  get isOpen() {
    return this.#isOpen;
  }

  /** The address of the instance that it is connected to. */
  get url() {
    return this.#socket?.url ?? null;
  }

  start() {
    if (!this.#hasEnded) return;
    this.#hasEnded = false;
    this.#connect();
  }

  /** End the client. What waits to be sent is sent if there is a connection. */
  stop() {
    this.#hasEnded = true;
    this.#hangUp();
  }

  // What the user does.

  /** Everything in a channel up to a message is read. Kept until the server has it, over interruptions. */
  markRead(channel, message) {
    this.#keep(`mark_read ${channel}`, { type: "mark_read", channel_id: channel, message_id: message });
  }

  /** A read receipt for one message. Kept until the server has it, over interruptions. */
  messageRead(channel, message) {
    const frame = { type: "message.read", channel_id: channel, message_id: message };
    this.#keep(`message.read ${channel} ${message}`, frame);
  }

  /** Replace the draft of a channel: `{ text, reply_to?, attachments? }`, or `null` to delete it. The last one arrives. */
  saveDraft(channel, content) {
    this.#drafts.save(channel, content);
    this.#flush();
  }

  /** A key was pressed: call it as often as that. The notice ends when no key was pressed for 3 s, or by `stopTyping`. */
  typing(channel) {
    if (!this.#isOpen) return;
    if (this.#typing.has(channel)) this.#typing.set(channel, true);
    else this.#startTyping(channel);
  }

  stopTyping(channel) {
    if (!this.#typing.delete(channel)) return;
    this.#stopTimer(`typing ${channel}`);
    this.#send({ type: "typing.stop", channel_id: channel });
  }

  /** The user looks at a channel, or at none (`null`). The answer is `draft.load`. */
  openChannel(channel) {
    this.#focused = channel;
    if (channel === null) this.#beat();
    else this.#send({ type: "channel.open", channel_id: channel });
  }

  /** Show the presence of these users (500 at most), and of no others. */
  watchPresence(users) {
    this.#watched = [...users];
    this.#send({ type: "presence.watch", user_ids: this.#watched });
  }

  /** The user did something: the state is `active`, and `idle` after a minute without another call. */
  interacted() {
    this.setState("active");
  }

  setState(state) {
    const changed = state !== this.#state;
    this.#state = state;
    if (changed) this.#onEvent({ type: "state", state });
    if (state === "active") this.#startTimer("idle", IDLE_AFTER_MS, () => this.setState("idle"));
    else this.#stopTimer("idle");
    if (changed) this.#beat();
  }

  /** Follow a page: hidden is `background`, and keys and the pointer are interactions. */
  watchPage(page) {
    page.addEventListener("visibilitychange", () => this.setState(page.hidden ? "background" : "active"));
    for (const input of ["keydown", "pointerdown", "pointermove", "wheel"]) {
      page.addEventListener(input, () => this.interacted(), { passive: true });
    }
  }

  // The connection.

  async #connect() {
    this.#resumedFrom = null;
    try {
      this.#token ??= await this.#makeToken();
      const url = await this.#address();
      if (!this.#hasEnded) this.#open(url);
    } catch (error) {
      this.#lost(error.code ?? null, error.message, error.retryAfterMs);
    }
  }

  async #address() {
    const response = await fetch(`${this.#gateway}/api/v1/realtime.connect`, {
      headers: { Authorization: `Bearer ${this.#token}` },
      signal: AbortSignal.timeout(CONNECT_WITHIN_MS),
    });
    const body = await response.json();
    if (response.ok) return body.url;
    const error = new Error(`${body.code}: ${body.detail ?? body.title}`);
    error.code = response.status === 401 ? UNAUTHENTICATED : null;
    const seconds = response.headers.get("Retry-After");
    throw Object.assign(error, { retryAfterMs: seconds === null ? null : Number(seconds) * 1000 || null });
  }

  #open(url) {
    const socket = new WebSocket(url);
    const isCurrent = () => socket === this.#socket;
    this.#socket = socket;
    this.#startTimer("auth", AUTH_WITHIN_MS, () => this.#giveUp("the server did not answer the authentication"));
    socket.onopen = () => isCurrent() && this.#authenticate();
    socket.onmessage = ({ data }) => isCurrent() && this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => isCurrent() && this.#lost(code, reason);
  }

  #authenticate() {
    const frame = { type: "auth", token: this.#token, device_id: this.#deviceId, ...this.#activity() };
    this.#resumedFrom = this.#position.point;
    if (this.#resumedFrom) {
      const { seq, parts, log } = this.#resumedFrom;
      frame.resume = { seq, parts, log };
    }
    this.#socket.send(JSON.stringify(frame));
  }

  #activity() {
    return { state: this.#state, ...(this.#focused === null ? {} : { focused_channel: this.#focused }) };
  }

  #receive(event) {
    this.#position.see(event);
    if (this.#isOpen && this.#timers.has("answer") && event.type !== "heartbeat.ok") this.#expectAnswer();
    switch (event.type) {
      case "auth.ok":
        this.#welcome(event);
        break;
      case "heartbeat.ok":
        this.#failures = 0;
        this.#stopTimer("answer");
        this.#outbox.noteAnswer();
        this.#flush();
        break;
      case "error":
        this.#outbox.noteError(event);
        // The heartbeat sends what is to be sent again, or its answer does.
        if (WORTH_REPEATING.has(event.code)) this.#beatIn(REPEAT_AFTER_MS * (0.5 + Math.random()));
        break;
      case "catchup.complete":
        this.#failedResumes = 0;
        break;
    }
    for (const told of this.#drafts.hear(event)) {
      const news = this.#newest.newsOf(told);
      if (news) this.#onEvent(news);
    }
    if (DRAFT_FRAMES.has(event.type)) this.#flush();
  }

  #welcome(auth) {
    this.#stopTimer("auth");
    [this.#isOpen, this.#tokenIsRenewed] = [true, false];
    this.#spreadMs = auth.reconnect_after_ms ?? null;
    this.#heartbeatMs = auth.heartbeat_s * 1000;
    this.#beatIn(this.#heartbeatMs);
    if (this.#watched) this.#send({ type: "presence.watch", user_ids: this.#watched });
    this.#flush();
  }

  #giveUp(reason) {
    this.#lost(null, reason);
  }

  #lost(code, reason, retryAfterMs = null) {
    if (this.#hasEnded) return;
    const wasOpen = this.#isOpen;
    this.#hangUp();
    const ending = FINAL[code] ?? this.#refusedToken(code, reason, wasOpen);
    if (ending) {
      this.#hasEnded = true;
      this.#onEvent({ type: "ended", reason: reason || ending, code });
      return;
    }
    const retryInMs = this.#nextDelay(reason, retryAfterMs);
    this.#startTimer("connect", retryInMs, () => this.#connect());
    this.#onEvent({ type: "disconnected", reason: reason.split(";")[0] || "the connection broke", code, retryInMs });
    this.#countFailedResume(code, wasOpen);
  }

  #hangUp() {
    const socket = this.#socket;
    [this.#socket, this.#isOpen] = [null, false];
    for (const name of this.#timers.keys()) if (name !== "idle") this.#stopTimer(name);
    this.#typing.clear();
    this.#outbox.noteLoss();
    this.#drafts.noteLoss();
    socket?.close();
  }

  /** Why the client ends because of its token; null if it does not. A new token is asked for once. */
  #refusedToken(code, reason, wasOpen) {
    if (code !== UNAUTHENTICATED || !(wasOpen || reason.startsWith("token_"))) return null;
    if (this.#tokenIsRenewed) return "the server refused the token";
    [this.#token, this.#tokenIsRenewed] = [null, true];
    return null;
  }

  /** Random, so that not all clients of an instance come at once; or as long as the server says. */
  #nextDelay(reason, retryAfterMs) {
    const told = retryAfterMs ?? Number(/retry_after_ms=(\d{1,9})\b/.exec(reason)?.[1] ?? NaN);
    const bound = this.#spreadMs ?? Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    this.#spreadMs = null;
    return Math.min(Number.isNaN(told) ? bound * Math.random() : told, LONGEST_WAIT_MS);
  }

  /** Drop a resume point with which connecting has failed several times in a row without any progress. */
  #countFailedResume(code, wasOpen) {
    const point = this.#resumedFrom;
    if (!point) return;
    const moved = JSON.stringify(this.#position.point) !== JSON.stringify(point);
    if (wasOpen && moved) this.#failedResumes = 0;
    const failed = wasOpen ? this.#position.isCatchingUp && !moved : code !== null && !NOT_OF_THE_RESUME.has(code);
    if (!failed || ++this.#failedResumes < RESUME_ATTEMPTS) return;
    const dropped = { type: "resume.dropped", point, attempts: this.#failedResumes };
    this.#failedResumes = 0;
    this.#position.see(dropped);
    this.#onEvent(dropped);
  }

  // What is sent.

  #keep(key, frame) {
    this.#outbox.put(key, frame);
    this.#flush();
  }

  #flush() {
    if (this.#isOpen) [...this.#outbox.takeUnsent(), ...this.#drafts.takeUnsent()].forEach((frame) => this.#send(frame));
  }

  #send(frame) {
    if (this.#isOpen) this.#socket.send(JSON.stringify(frame));
  }

  #beat() {
    if (!this.#isOpen) return;
    this.#flush();
    this.#send({ type: "heartbeat", device_id: this.#deviceId, ...this.#activity() });
    this.#outbox.noteHeartbeat();
    this.#beatIn(this.#heartbeatMs);
    if (!this.#timers.has("answer")) this.#expectAnswer();
  }

  #beatIn(ms) {
    this.#startTimer("heartbeat", ms, () => this.#beat());
  }

  #expectAnswer() {
    this.#startTimer("answer", ANSWER_WITHIN_MS, () => this.#giveUp("the server does not answer"));
  }

  #startTyping(channel) {
    this.#typing.set(channel, false);
    this.#send({ type: "typing.start", channel_id: channel });
    this.#startTimer(`typing ${channel}`, TYPING_EVERY_MS, () => {
      if (this.#typing.get(channel)) this.#startTyping(channel);
      else this.stopTyping(channel);
    });
  }

  #startTimer(name, ms, action) {
    this.#stopTimer(name);
    const run = () => {
      this.#timers.delete(name);
      action();
    };
    this.#timers.set(name, setTimeout(run, ms));
  }

  #stopTimer(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}

/** Raise the number of a key; whether it was lower. */
function raise(numbers, key, value) {
  const rises = value > (numbers.get(key) ?? 0);
  if (rises) numbers.set(key, value);
  return rises;
}

/** Whether a draft has a content. */
function isContent(draft, content) {
  if (!draft || !content) return !draft && !content;
  const fields = ({ text, reply_to: reply = null, attachments }) => JSON.stringify([text, reply, attachments ?? []]);
  return fields(draft) === fields(content);
}

/** A map of the fields of an object; other users choose some of the keys, and `__proto__` is one that they may choose. */
function mapOf(fields) {
  return new Map(Object.entries(fields));
}
