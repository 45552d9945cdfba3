import { useState } from "react";
import { useConnection, useLatest, useLatestByTopic, usePublish, useSubscription } from "@cloudsignal/client/react";

export function Dashboard() {
  const { topics } = useLatestByTopic("agents/:id/state");
  const [chosen, setChosen] = useState(null);
  const agents = [...topics.values()].sort((a, b) => (a.params.id < b.params.id ? -1 : 1));
  const sum = (of) => agents.reduce((total, { data }) => total + of(data), 0);
  return (
    <main>
      <header>
        <h1>Agents</h1>
        <Connection />
      </header>
      <dl className="figures">
        <Figure name="Working" value={sum(({ status }) => (status === "busy" ? 1 : 0))} of={agents.length} />
        <Figure name="Jobs done" value={sum(({ done }) => done)} />
        <Figure name="Mean load" value={`${Math.round(sum(({ load }) => load) / (agents.length || 1))} %`} />
      </dl>
      <div className="columns">
        <ul className="agents">
          {agents.map(({ params: { id }, data }) => (
            <Agent key={id} id={id} state={data} isChosen={chosen === id} onChoose={() => setChosen(chosen === id ? null : id)} />
          ))}
        </ul>
        <aside>
          {chosen && <Details id={chosen} />}
          <Events />
        </aside>
      </div>
    </main>
  );
}

const STATES = { connected: "live", connecting: "connecting …", waiting: "reconnecting …", suspended: "paused", closed: "disconnected", idle: "offline" };

function Connection() {
  const { kind } = useConnection();
  return <span className={`connection ${kind}`}>{STATES[kind]}</span>;
}

function Figure({ name, value, of }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}{of !== undefined && <small> of {of}</small>}</dd>
    </div>
  );
}

function Agent({ id, state, isChosen, onChoose }) {
  const command = usePublish(`agents/${id}/command`);
  const isPaused = state.status === "paused";
  return (
    <li className={`agent ${state.status}`} data-id={id} aria-current={isChosen}>
      <button className="name" onClick={onChoose}>{id}</button>
      <span className="status">{state.status}</span>
      <meter min="0" max="100" value={state.load} aria-label={`load of ${id}`} />
      <span className="done">{state.done} done</span>
      <button className="command" onClick={() => command(isPaused ? "resume" : "pause")}>{isPaused ? "Resume" : "Pause"}</button>
    </li>
  );
}

/** Subscribes to one agent while it is shown, and gives that back when it is not. */
function Details({ id }) {
  const { data, status } = useLatest(`agents/${id}/state`);
  return (
    <div className="card details">
      <h2>{id}</h2>
      {status === "ready" && data ? <p>{data.status}, load {data.load} %, {data.done} jobs done</p> : <p>…</p>}
    </div>
  );
}

const time = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

function Events() {
  const { messages } = useSubscription("agents/:id/events", { qos: 0, keep: 12 });
  return (
    <div className="card">
      <h2>What happens</h2>
      <ol className="events">
        {messages.toReversed().map((message) => (
          <li key={`${message.topic} ${message.data.at}`}>
            <time>{time.format(message.data.at)}</time> <strong>{message.params.id}</strong> {message.data.what}
          </li>
        ))}
      </ol>
      {messages.length === 0 && <p className="muted">Nothing yet.</p>}
    </div>
  );
}
