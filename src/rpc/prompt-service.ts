import { create } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { PromptInfoSchema, VersionInfoSchema } from "../../gen/promptd/v1/prompt_pb.ts";
import {
  type CompileRequest,
  CreateVersionResponseSchema,
  DeleteVersionsResponseSchema,
  ListPromptsResponseSchema,
  ListVersionsResponseSchema,
  type PromptService,
  ReplicasReachedSchema,
  SetLabelsResponseSchema,
  SetTagsResponseSchema,
} from "../../gen/promptd/v1/prompt_service_pb.ts";
import type { Answered, AnswerListener } from "../core/answered.ts";
import type { ChangeFeed, ChangeTail } from "../core/cache-ports.ts";
import type { CallCountLookup, CallCountStore } from "../core/call-counts.ts";
import { isUnreachable, PromptdError } from "../core/errors.ts";
import { requireValidVersion } from "../core/new-version.ts";
import type { NewVersion, PromptSource } from "../core/ports.ts";
import { type JsonValue, LATEST_LABEL } from "../core/prompt.ts";
import type { Replica } from "../core/replicas.ts";
import type { Question, Resolver } from "../core/resolver.ts";
import { compile } from "../core/template/compile.ts";
import { LIMITS, Validator } from "../core/validate.ts";
import { answerBytes, batchBytes, compileBytes, getPromptBytes } from "./answer-bytes.ts";
import { AnswerPace } from "./answer-pace.ts";
import {
  fromBodyFields,
  fromChatMessages,
  fromMissing,
  fromRevision,
  toPromptInfo,
  toPromptType,
  toVersionInfo,
} from "./convert.ts";
import { toPendingChange } from "./convert-policy.ts";
import { fromPageToken, readablePage } from "./pages.ts";
import { requireIncluded, requirePrompt, requireScope } from "./permissions.ts";
import { questionOf } from "./questions.ts";
import { CallReports } from "./report-calls.ts";
import { type Implementation, Later } from "./served.ts";
import { type Status, toStatus } from "./status.ts";
import { watchPrompts } from "./watch-prompts.ts";

export interface PromptServiceParts {
  resolver: Resolver;
  source: PromptSource;
  counts: CallCountLookup & CallCountStore;
  replica: Pick<Replica, "reached">;
  feed: ChangeFeed;
  tail: ChangeTail;
  /** A fresh UUID (version 7) for each resolution. */
  newId: () => string;
  listeners: readonly AnswerListener[];
}

/** PromptService on a resolver, for what callers ask, and a source, for what is listed and changed. */
export function promptService({
  resolver,
  source,
  counts,
  replica,
  feed,
  tail,
  newId,
  listeners,
}: PromptServiceParts): Implementation<typeof PromptService> {
  const pace = new AnswerPace();
  const reports = new CallReports({ resolver, counts });
  /** @returns the resolution's id */
  function tell(answered: Answered): string {
    for (const listener of listeners) listener.answered(answered);
    return answered.id;
  }
  return {
    async getPrompt(request, caller) {
      const startedAt = now();
      const question = questionOf(request, caller, request.raw);
      const resolved =
        resolver.peek(caller, question) ?? (await resolver.resolve(caller, question));
      const turn = pace.wait(answerBytes(resolved.choice));
      if (turn !== undefined) await turn;
      const id = tell({ id: newId(), method: "GetPrompt", caller, question, resolved, startedAt });
      return getPromptBytes(resolved, id);
    },

    async batchGetPrompts({ requests }, caller) {
      const startedAt = now();
      const validator = new Validator();
      validator.require(requests.length > 0, "requests", "expected at least 1");
      validator.count(requests.length, LIMITS.batch, "requests");
      validator.done();
      const later = async (question: Question) => ({
        question,
        resolved: await resolver.resolve(caller, question),
      });
      const answers = requests.map((request) => {
        try {
          const question = questionOf(request, caller, request.raw);
          const resolved = resolver.peek(caller, question);
          return resolved ? { question, resolved } : later(question).catch(itemStatus);
        } catch (thrown) {
          return Promise.reject(thrown).catch(itemStatus);
        }
      });
      const items = answers.every(isReady) ? answers : await Promise.all(answers);
      const bytes = items.map((item) =>
        "resolved" in item ? answerBytes(item.resolved.choice) : 0,
      );
      await pace.wait(bytes.reduce((sum, each) => sum + each, 0));
      return batchBytes(items, (item) =>
        tell({ id: newId(), method: "BatchGetPrompts", caller, startedAt, ...item }),
      );
    },

    async compile(request, caller) {
      const startedAt = now();
      const { variables, placeholders, missing } = compileInput(request);
      const question = questionOf(request, caller);
      const resolved =
        resolver.peek(caller, question) ?? (await resolver.resolve(caller, question));
      const { answer } = resolved.choice;
      const turn = pace.wait(answerBytes(resolved.choice));
      if (turn !== undefined) await turn;
      const output = compile(answer.template, { variables, placeholders, missing });
      const id = tell({ id: newId(), method: "Compile", caller, question, resolved, startedAt });
      return compileBytes(resolved, output, id);
    },

    async listPrompts({ pageSize, pageToken, label, tag, folder }, caller) {
      const validator = new Validator();
      const size = validator.pageSize(pageSize);
      if (label !== "") validator.label(label, "label");
      if (tag !== "") validator.tag(tag, "tag");
      if (folder !== "") validator.folder(folder);
      const after = fromPageToken(pageToken, "string");
      if (after !== undefined) validator.name(after, "page_token");
      validator.done();
      const filter = { ...(label && { label }), ...(tag && { tag }), ...(folder && { folder }) };
      const page = await source.listPrompts(caller, filter, {
        size,
        ...(after === undefined ? {} : { after }),
      });
      const { items: prompts, nextPageToken } = readablePage(
        PromptInfoSchema,
        { ...page, items: page.items.map(toPromptInfo) },
        (last) => last.name,
      );
      return create(ListPromptsResponseSchema, { prompts, nextPageToken });
    },

    async listVersions({ name, pageSize, pageToken, label }, caller) {
      const validator = new Validator();
      validator.name(name);
      const size = validator.pageSize(pageSize);
      if (label !== "") validator.label(label, "label");
      validator.done();
      requirePrompt(caller, name);
      const before = fromPageToken(pageToken, "number");
      const page = await source.listVersions(caller, name, label === "" ? {} : { label }, {
        size,
        ...(before === undefined ? {} : { before }),
      });
      const listed = page.items.map(({ version }) => version);
      const counted = await counts.of(caller, name, listed).catch(none);
      const infos = page.items.map((info) => toVersionInfo(info, counted.get(info.version)));
      const { items: versions, nextPageToken } = readablePage(
        VersionInfoSchema,
        { ...page, items: infos },
        (last) => last.version,
      );
      return create(ListVersionsResponseSchema, {
        versions,
        nextPageToken,
        type: toPromptType(page.type),
        tags: [...page.tags],
        revision: BigInt(page.revision),
      });
    },

    async createVersion(request, caller) {
      const { name, labels, tags, commitMessage, expectedLatestVersion } = request;
      const version: NewVersion = {
        name,
        body: fromBodyFields(request),
        labels,
        commitMessage,
        ...(tags.length > 0 && { tags }),
        ...(expectedLatestVersion === undefined ? {} : { expectedLatestVersion }),
      };
      requireValidVersion(version);
      requirePrompt(caller, name);
      requireIncluded(caller, version.body);
      if (labels.some((label) => label !== LATEST_LABEL)) requireScope(caller, "release");
      const created = await source.createVersion(caller, version);
      return create(CreateVersionResponseSchema, {
        ...created,
        revision: BigInt(created.revision),
      });
    },

    async setLabels(request, caller) {
      const { name, moves, expectedRevision, reason, keepRollout, waitForReplicas } = request;
      const waitMs = waitForReplicas && durationMs(waitForReplicas);
      const validator = new Validator();
      validator.name(name);
      validator.moves(moves.map(({ label }) => label));
      if (waitMs !== undefined) validator.wait(waitMs, "wait_for_replicas");
      validator.message(reason, "reason");
      validator.done();
      requirePrompt(caller, name);
      const { revision, previous, abortedRollouts, pending } = await source.setLabels(caller, {
        name,
        moves: moves.map(({ label, version }) => ({ label, version })),
        reason,
        ...fromRevision(expectedRevision),
        ...(keepRollout && { rollouts: "keep" }),
      });
      const response = create(SetLabelsResponseSchema, {
        revision: BigInt(revision),
        previous,
        abortedRollouts,
        ...(pending && { pending: toPendingChange(pending) }),
      });
      if (waitMs === undefined || pending !== undefined) return response;
      return new Later(async () => {
        const reached = await replica.reached(revision, waitMs, caller.signal);
        if (reached !== undefined) response.replicas = create(ReplicasReachedSchema, reached);
        return response;
      });
    },

    async setTags({ name, tags, expectedRevision, reason }, caller) {
      const validator = new Validator();
      validator.name(name);
      validator.tags(tags);
      validator.message(reason, "reason");
      validator.done();
      requirePrompt(caller, name);
      const edit = { name, tags, reason, ...fromRevision(expectedRevision) };
      const { revision, previous } = await source.setTags(caller, edit);
      return create(SetTagsResponseSchema, { revision: BigInt(revision), previous: [...previous] });
    },

    async deleteVersions({ name, versions, all, expectedRevision, reason }, caller) {
      const validator = new Validator();
      validator.name(name);
      const one = all !== versions.length > 0;
      validator.require(one, "versions", "expected versions or all, not both");
      if (validator.count(versions.length, LIMITS.deletedVersions, "versions")) {
        versions.forEach((version, index) => {
          validator.version(version, `versions[${index}]`);
        });
      }
      validator.message(reason, "reason");
      validator.done();
      requirePrompt(caller, name);
      const deleted = await source.deleteVersions(caller, {
        name,
        versions: all ? "all" : versions,
        reason,
        ...fromRevision(expectedRevision),
      });
      return create(DeleteVersionsResponseSchema, {
        ...deleted,
        revision: BigInt(deleted.revision),
      });
    },

    watchPrompts(request, caller) {
      return watchPrompts({ resolver, feed, tail, newId, pace }, request, caller);
    },

    reportCalls(request, caller) {
      return reports.add(request, caller);
    },
  };
}

/** Versions of a Langfuse are listed without their counts while the database cannot be reached. */
function none(thrown: unknown): Awaited<ReturnType<CallCountLookup["of"]>> {
  if (isUnreachable(thrown)) return new Map();
  throw thrown;
}

/** Milliseconds since 1970, with fractions. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

function compileInput(request: CompileRequest) {
  const missing = fromMissing(request.missingVariables);
  const variables = (request.variables ?? {}) as Record<string, JsonValue>;
  const validator = new Validator();
  validator.json(variables, "variables");
  // Without a prototype, so that a placeholder may have any name.
  const placeholders: Record<string, ReturnType<typeof fromChatMessages>> = Object.create(null);
  for (const [name, messages] of Object.entries(request.placeholders)) {
    placeholders[name] = fromChatMessages(messages);
    validator.placeholderMessages(placeholders[name], `placeholders.${name}`);
  }
  validator.done();
  return { missing, variables, placeholders };
}

/** What is ready is passed through no promise: that takes longer than to find it. */
function isReady<Answer>(answer: Answer): answer is Exclude<Answer, Promise<unknown>> {
  return !(answer instanceof Promise);
}

/** An item's failure; one that is no answer to the caller ends the whole call. */
function itemStatus(thrown: unknown): Status {
  const error = PromptdError.from(thrown);
  if (error.code === "internal") throw error;
  return toStatus(error);
}
