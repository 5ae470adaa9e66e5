/**
 * What Redis runs in one step. Every script first looks whether the epoch that its
 * caller knows is still that of the namespace, and answers `epoch` where not.
 *
 * KEYS[1] is the epoch's key and ARGV[1] the epoch in all but `open`.
 */

const EPOCH = `
  if redis.call('get', KEYS[1]) ~= ARGV[1] then return {'epoch'} end`;

/** The stream's last entry; its id begins with the revision. */
const END = `
  local last = redis.call('xrevrange', KEYS[2], '+', '-', 'count', 1)[1]
  local revision, hash = '0', ''
  if last then
    revision = string.match(last[1], '^%d+')
    hash = last[2][2]
  end`;

export const SCRIPTS = {
  /**
   * Makes the namespace a database's, or answers whose it is.
   * KEYS: epoch, database; ARGV: the database's id, an epoch where there is none.
   */
  open: `
    local owner = redis.call('get', KEYS[2])
    if owner and owner ~= ARGV[1] then return {'owner', owner} end
    if not owner then redis.call('set', KEYS[2], ARGV[1]) end
    redis.call('set', KEYS[1], ARGV[2], 'nx')
    return {'ok', redis.call('get', KEYS[1])}`,

  /** KEYS: epoch, stream; ARGV: epoch. */
  newest: `${EPOCH}${END}
    return {'ok', revision, hash}`,

  /** What is shared of prompts expires by itself. KEYS: epoch, stream; ARGV: epoch, the next one. */
  renew: `${EPOCH}
    redis.call('unlink', KEYS[2])
    redis.call('set', KEYS[1], ARGV[2])
    return {'ok'}`,

  /**
   * KEYS: epoch, stream, the prompts that the changes are about.
   * ARGV: epoch, the end's revision and hash, entries kept, and for each change revision, hash, previous hash, JSON.
   */
  append: `${EPOCH}${END}
    if revision ~= ARGV[2] or hash ~= ARGV[3] then return {'apart'} end
    for i = 1, #KEYS - 2 do
      local at = 5 + 4 * (i - 1)
      redis.call('xadd', KEYS[2], 'maxlen', '~', ARGV[4], ARGV[at] .. '-0',
        'hash', ARGV[at + 1], 'previous', ARGV[at + 2], 'change', ARGV[at + 3])
      redis.call('unlink', KEYS[2 + i])
    end
    return {'ok'}`,

  /**
   * KEYS: epoch, stream, prompt, claim.
   * ARGV: epoch, revision, hash, selector, newer than, content's prefix, claim, its milliseconds.
   */
  look: `${EPOCH}${END}
    if revision ~= ARGV[2] or hash ~= ARGV[3] then return {'apart'} end
    local found = redis.call('hget', KEYS[3], ARGV[4])
    if found then
      local readAt, content = string.match(found, '^(%d+) (%x+) ')
      if readAt and tonumber(readAt) > tonumber(ARGV[5]) then
        local body = redis.call('get', ARGV[6] .. content)
        if body then return {'found', found, body} end
      end
    end
    if ARGV[7] == '' then return {'apart'} end
    local holder = redis.call('get', KEYS[4])
    if holder and holder ~= ARGV[7] then return {'busy'} end
    redis.call('set', KEYS[4], ARGV[7], 'px', ARGV[8])
    return {'claimed'}`,

  /**
   * KEYS: epoch, stream, prompt, content.
   * ARGV: epoch, revision, hash, selector, prompt, content, milliseconds that both are kept.
   */
  put: `${EPOCH}${END}
    if revision ~= ARGV[2] or hash ~= ARGV[3] then return {'apart'} end
    redis.call('set', KEYS[4], ARGV[6], 'px', ARGV[7])
    redis.call('hset', KEYS[3], ARGV[4], ARGV[5])
    redis.call('pexpire', KEYS[3], ARGV[7])
    return {'ok'}`,

  /** KEYS: epoch, claim; ARGV: epoch, the claim. */
  release: `${EPOCH}
    if redis.call('get', KEYS[2]) == ARGV[2] then redis.call('del', KEYS[2]) end
    return {'ok'}`,
};
