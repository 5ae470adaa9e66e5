import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * A server that stands for LangSmith, as far as its package and promptd ask it: prompts, commits
 * and tags of workspaces, in memory. `official.test.ts` has LangSmith's own package use it.
 */
export interface StandIn {
  url: string;
  /** Makes a workspace and answers with its key. */
  newWorkspace(): string;
  /** What it was asked, as METHOD PATH. */
  seen: string[];
  /** Told of each request before it is answered; may answer in its place, or make it wait. */
  before: (request: Asked, response: ServerResponse) => void | Promise<void>;
  /** Whether a commit is refused whose parent is not the newest one. */
  checksParents: boolean;
  /** Whether a change was made, though nobody hears of it: cuts the connection after it. */
  cutAfter: (request: Asked) => boolean;
  close(): void;
}

export interface Asked {
  method: string;
  path: string;
  body: Record<string, unknown>;
}

interface Commit {
  id: string;
  commit_hash: string;
  parent_commit_hash: string | null;
  manifest: unknown;
  description: string | null;
  created_at: string;
}

interface Repo {
  id: string;
  repo_handle: string;
  is_public: boolean;
  tags: string[];
  created_at: string;
  updated_at: string;
  /** Oldest first. */
  commits: Commit[];
  commitTags: Map<string, { commit: Commit; created_at: string; updated_at: string }>;
}

type Workspace = Map<string, Repo>;

/** A failure as LangSmith says it. */
class Failure extends Error {
  readonly status: number;

  constructor(status: number, detail: string) {
    super(detail);
    this.status = status;
  }
}

const MAX_PAGE = 100;

export async function startStandIn(): Promise<StandIn> {
  const workspaces = new Map<string, Workspace>();
  const strangers = newRepo("rag-prompt", true, []);
  addCommit(strangers, { manifest: {} });
  const server = createServer(async (request, response) => {
    const asked = await read(request);
    standIn.seen.push(`${asked.method} ${asked.path}`);
    await standIn.before(asked, response);
    if (response.writableEnded || response.destroyed) return;
    try {
      const workspace = workspaces.get(String(request.headers["x-api-key"]));
      if (workspace === undefined) throw new Failure(401, "Invalid token");
      const answer = answerOf(asked, workspace, strangers, standIn.checksParents);
      if (standIn.cutAfter(asked)) request.socket.destroy();
      else reply(response, 200, answer);
    } catch (thrown) {
      if (!(thrown instanceof Failure)) throw thrown;
      reply(response, thrown.status, { detail: thrown.message });
    }
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const standIn: StandIn = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    newWorkspace() {
      const key = `lsv2_pt_${randomUUID()}`;
      workspaces.set(key, new Map());
      return key;
    },
    seen: [],
    before: () => {},
    checksParents: true,
    cutAfter: () => false,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
  return standIn;
}

export function reply(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

async function read(request: IncomingMessage): Promise<Asked> {
  let text = "";
  for await (const piece of request.setEncoding("utf8")) text += piece;
  const { method = "", url = "" } = request;
  const path = url.replace(/^\/api\/v1\//, "/");
  return { method, path, body: text === "" ? {} : JSON.parse(text) };
}

function answerOf(
  { method, path, body }: Asked,
  workspace: Workspace,
  strangers: Repo,
  checksParents: boolean,
): unknown {
  const { pathname, searchParams } = new URL(path, "http://x");
  const parts = pathname.split("/").filter(Boolean).map(decodeURIComponent);
  const [kind, owner, handle = "", part, label] = parts;
  if (method === "GET" && kind === "settings") return { id: randomUUID(), tenant_handle: null };
  if (kind === "repos" && owner === undefined) {
    if (method === "POST") return { repo: repoOf(createRepo(workspace, body)) };
    return listRepos([...workspace.values(), strangers], searchParams);
  }
  const repo = workspace.get(handle);
  if (owner !== "-" || repo === undefined) throw new Failure(404, "Repository not found");
  if (kind === "commits" && part === undefined) {
    if (method === "GET") return listCommits(repo, searchParams);
    return { commit: commitOf(createCommit(repo, body, checksParents)) };
  }
  if (kind === "commits") return manifestOf(repo, part ?? "");
  if (part === "tags") return changeTags(repo, method, label, body);
  if (method === "DELETE") {
    workspace.delete(handle);
    return null;
  }
  if (method === "PATCH") {
    if (Array.isArray(body.tags)) repo.tags = body.tags as string[];
    if (typeof body.is_public === "boolean") repo.is_public = body.is_public;
    repo.updated_at = time();
  }
  return { repo: repoOf(repo) };
}

function createRepo(workspace: Workspace, body: Asked["body"]): Repo {
  const { repo_handle, is_public, tags = [] } = body;
  const handle = String(repo_handle);
  if (!/^[a-z0-9][a-z0-9_-]*$/.test(handle)) throw new Failure(422, "Invalid repo handle");
  if (workspace.has(handle)) throw new Failure(409, "Repo handle already exists");
  const repo = newRepo(handle, is_public === true, tags as string[]);
  workspace.set(handle, repo);
  return repo;
}

function newRepo(repo_handle: string, is_public: boolean, tags: string[]): Repo {
  const now = time();
  const about = { id: randomUUID(), repo_handle, is_public, tags };
  return { ...about, created_at: now, updated_at: now, commits: [], commitTags: new Map() };
}

function createCommit(repo: Repo, body: Asked["body"], checksParents: boolean): Commit {
  const newest = repo.commits.at(-1);
  if (checksParents && (body.parent_commit ?? undefined) !== newest?.commit_hash) {
    throw new Failure(409, "Parent commit is not the latest commit");
  }
  if (newest && JSON.stringify(newest.manifest) === JSON.stringify(body.manifest)) {
    throw new Failure(409, "Nothing to commit: prompt has not changed since latest commit");
  }
  return addCommit(repo, body);
}

function addCommit(repo: Repo, { manifest, description }: Asked["body"]): Commit {
  const id = randomUUID();
  const commit: Commit = {
    id,
    commit_hash: createHash("sha256").update(id).digest("hex"),
    parent_commit_hash: repo.commits.at(-1)?.commit_hash ?? null,
    manifest,
    description: typeof description === "string" ? description : null,
    created_at: time(),
  };
  repo.commits.push(commit);
  repo.updated_at = time();
  return commit;
}

/** Hashes go before tags of the same name. */
function manifestOf({ commits, commitTags }: Repo, named: string) {
  const commit =
    named === "latest"
      ? commits.at(-1)
      : (commits.find(({ commit_hash }) => named.length >= 8 && commit_hash.startsWith(named)) ??
        commitTags.get(named)?.commit);
  if (commit === undefined) throw new Failure(404, "Commit not found");
  return { commit_hash: commit.commit_hash, manifest: commit.manifest, examples: [] };
}

function changeTags(
  { commits, commitTags }: Repo,
  method: string,
  label: string | undefined,
  body: Asked["body"],
): unknown {
  if (method === "GET") {
    return [...commitTags].map(([tag_name, { commit, ...times }]) => ({
      id: randomUUID(),
      tag_name,
      commit_id: commit.id,
      commit_hash: commit.commit_hash,
      ...times,
    }));
  }
  const name = label ?? String(body.tag_name);
  const tag = commitTags.get(name);
  if (method === "POST" && tag !== undefined) throw new Failure(409, "Tag already exists");
  if (method !== "POST" && tag === undefined) throw new Failure(404, "Tag not found");
  if (method === "DELETE") return commitTags.delete(name) && null;
  const commit = commits.find(({ id }) => id === body.commit_id);
  if (commit === undefined) throw new Failure(404, "Commit not found");
  const now = time();
  commitTags.set(name, { commit, created_at: tag?.created_at ?? now, updated_at: now });
  return { tag_name: name, commit_id: commit.id };
}

/** Newest first. */
function listCommits({ commits }: Repo, query: URLSearchParams) {
  return { commits: page(commits.toReversed(), query).map(commitOf), total: commits.length };
}

/** Those of everybody too that are public, unless only private ones are asked for. */
function listRepos(repos: Repo[], query: URLSearchParams) {
  const wanted = query.get("is_public");
  const found = repos
    .filter(({ is_public }) => wanted === null || String(is_public) === wanted)
    .sort((a, b) => (a.updated_at < b.updated_at ? 1 : -1));
  return { repos: page(found, query).map(repoOf), total: found.length };
}

function page<Item>(items: Item[], query: URLSearchParams): Item[] {
  const limit = Number(query.get("limit") ?? 20);
  if (limit > MAX_PAGE) throw new Failure(422, `limit: at most ${MAX_PAGE}`);
  const offset = Number(query.get("offset") ?? 0);
  return items.slice(offset, offset + limit);
}

function repoOf({ commits, commitTags, ...repo }: Repo) {
  return {
    ...repo,
    full_name: `-/${repo.repo_handle}`,
    owner: null,
    num_commits: commits.length,
    last_commit_hash: commits.at(-1)?.commit_hash ?? null,
    commit_tags: [...commitTags.keys()],
    is_archived: false,
  };
}

function commitOf({ manifest: _, ...commit }: Commit) {
  return { ...commit, updated_at: commit.created_at, full_name: "Ada Lovelace" };
}

let last = 0;

/** Never the same twice, in the form in which Python writes it. */
function time(): string {
  last = Math.max(Date.now(), last + 1);
  return new Date(last).toISOString().replace("Z", "000+00:00");
}
