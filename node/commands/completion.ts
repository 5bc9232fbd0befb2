/** `cfab-node completion bash|zsh|fish`: a script for the shell, made from the commands as they are. */
import { Argument, type Command } from 'commander'
import type { Run } from './flags.ts'

const SHELLS = ['bash', 'zsh', 'fish'] as const
type Shell = (typeof SHELLS)[number]

/** What may follow a command's words. */
export type Place = {
  /** `''` for the program, `job submit` for a nested verb. */
  readonly path: string
  readonly verbs: readonly { readonly name: string; readonly description: string }[]
  /** What an argument may be, where it is one of a few words. */
  readonly words: readonly string[]
  readonly flags: readonly {
    readonly long: string
    readonly short: string | undefined
    readonly takesValue: boolean
    readonly choices: readonly string[]
    readonly description: string
  }[]
}

export function addCompletion(program: Command, run: Run): void {
  program
    .command('completion')
    .description('print a completion script: eval "$(cfab-node completion bash)"')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .action((shell: Shell) =>
      run(async (io) => {
        io.out(completionScript(shell, program.name(), placesOf(program)))
        return 0
      }),
    )
}

/** Every command of the tree, the program itself first. */
export function placesOf(command: Command, path = ''): readonly Place[] {
  const verbs = command.commands.map((verb) => ({ name: verb.name(), description: verb.description() }))
  const words = command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? [])
  const flags = command.options.flatMap(({ long, short, required, optional, argChoices, description }) =>
    long == null ? [] : [{ long, short, takesValue: required || optional, choices: argChoices ?? [], description }],
  )
  const inner = command.commands.flatMap((verb) => placesOf(verb, `${path} ${verb.name()}`.trim()))
  return [{ path, verbs, words, flags }, ...inner]
}

export function completionScript(shell: Shell, name: string, places: readonly Place[]): string {
  return shell === 'fish' ? fishScript(name, places) : bashScript(shell, name, places)
}

/** zsh runs the same script through its own emulation of bash's completion. */
function bashScript(shell: 'bash' | 'zsh', name: string, places: readonly Place[]): string {
  const handler = `_${name.replaceAll('-', '_')}`
  const cases = places.map(({ path, verbs, words, flags }) => {
    const all = [...verbs.map((verb) => verb.name), ...words, ...flags.map((flag) => flag.long), '--help']
    return `    ${quoted(path)}) words=${quoted(all.join(' '))} ;;`
  })
  const chosen = places.flatMap(({ path, flags }) =>
    flags
      .filter(({ choices }) => choices.length > 0)
      .map(({ long, short, choices }) => {
        const names = [long, ...(short === undefined ? [] : [short])].map((name) => quoted(`${path} ${name}`))
        return `    ${names.join('|')}) words=${quoted(choices.join(' '))} ;;`
      }),
  )
  const paths = places.map(({ path }) => path).filter((path) => path !== '')
  return `${shell === 'zsh' ? 'autoload -U +X bashcompinit && bashcompinit\n' : ''}${handler}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" path='' words='' word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "\${path:+$path }$word" in
      ${paths.map(quoted).join('|')}) path="\${path:+$path }$word" ;;
    esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  case "$path $previous" in
${[...chosen, '    *) ;;'].join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F ${handler} ${name}
`
}

function fishScript(name: string, places: readonly Place[]): string {
  const lines = places.flatMap(({ path, verbs, words, flags }) => {
    const condition = conditionOf(path, verbs)
    const start = `complete -c ${name} -n ${quoted(condition)}`
    return [
      ...verbs.map((verb) => `${start} -f -a ${quoted(verb.name)} -d ${quoted(verb.description)}`),
      ...words.map((word) => `${start} -f -a ${quoted(word)}`),
      ...flags.map(({ long, takesValue, choices, description }) => {
        const values = choices.length > 0 ? ` -a ${quoted(choices.join(' '))}` : ''
        return `${start} -l ${long.slice(2)}${takesValue ? ' -r' : ''}${values} -d ${quoted(description)}`
      }),
    ]
  })
  return `${lines.join('\n')}\n`
}

function conditionOf(path: string, verbs: Place['verbs']): string {
  const seen = path.split(' ').filter((word) => word !== '')
  const names = verbs.map((verb) => verb.name).join(' ')
  const conditions = seen.map((word) => `__fish_seen_subcommand_from ${word}`)
  if (names !== '') conditions.push(`not __fish_seen_subcommand_from ${names}`)
  return conditions.join('; and ')
}

/** In single quotes nothing is special to these shells but the quote itself. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
