using System.Text;

namespace Archipelago.Cli.CommandLine;

/// <summary>Makes a completion script for bash from the table of commands.</summary>
internal static class BashCompletion
{
    private const string Names = """
        # Names of volumes (--snapshots: and of snapshots) of the state directory that the line names.
        _archipelago_names() {
            timeout 2 archipelago volume list --names "$@" "${where[@]}" 2>/dev/null
        }

        """;

    // A shell cuts words at @ and =: what is put in is what comes behind the cut.
    private const string Before = """
            for ((i = 1; i < COMP_CWORD; i++)); do
                case ${COMP_WORDS[i]} in
                    --state | --socket)
                        if [[ ${COMP_WORDS[i+1]} == = ]]; then where+=("${COMP_WORDS[i]}" "${COMP_WORDS[i+2]/#\~\//$HOME/}")
                        else where+=("${COMP_WORDS[i]}" "${COMP_WORDS[i+1]/#\~\//$HOME/}"); fi ;;
                esac
            done
            if [[ $word == @ ]]; then cut=$previous@ word=
            elif [[ $previous == @ ]]; then cut=${COMP_WORDS[COMP_CWORD-2]}@
            fi

        """;

    internal static string Render(IReadOnlyList<CliCommand> table)
    {
        var script = new StringBuilder();
        script.Append("# bash completion for archipelago, made by `archipelago completion bash`. Source it, or put it into\n");
        script.Append("# /usr/share/bash-completion/completions/archipelago.\n");
        script.Append(Names);
        script.Append("_archipelago() {\n    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} path= words= cut= i where=()\n");
        script.Append(Before);
        script.Append("    for ((i = 1; i < COMP_CWORD; i++)); do\n        case \"$path ${COMP_WORDS[i]}\" in\n");
        foreach (var command in table.Skip(1)) script.Append($"            \"{Key(command.Path)}\") path=\"{Key(command.Path)}\" ;;\n");
        script.Append("        esac\n    done\n    case \"$path $previous\" in\n");
        foreach (var command in table)
            foreach (var option in command.Options.Where(o => o.Value is not null))
                script.Append($"        \"{Key(command.Path)} {option.Name}\") {Values(option)} ;;\n");
        script.Append("    esac\n    case \"$path\" in\n");
        foreach (var command in table)
            script.Append($"        \"{Key(command.Path)}\") words=\"{string.Join(' ', Words(command, table))}\" ;;\n");
        script.Append("    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cut$word\"))\n    COMPREPLY=(\"${COMPREPLY[@]#\"$cut\"}\")\n}\ncomplete -F _archipelago archipelago\n");
        return script.ToString();
    }

    private static string Key(string path) => path.Length == 0 ? "" : " " + path;

    private static string Values(CliOption option)
    {
        if (option.Words is { } words) return $"COMPREPLY=($(compgen -W \"{string.Join(' ', words)}\" -- \"$word\")); return";
        if (option.Shell is { } shell) return $"COMPREPLY=($(compgen -W \"$({shell})\" -- \"$word\")); return";
        return option.Value is "DIR" ? "COMPREPLY=($(compgen -d -- \"$word\")); return"
            : option.Value is "FILE" or "PATH" ? "COMPREPLY=($(compgen -f -- \"$word\")); return"
            : "COMPREPLY=(); return";
    }

    private static IEnumerable<string> Words(CliCommand command, IReadOnlyList<CliCommand> table) =>
        table.Where(c => HelpPage.IsBelow(c, command)).Select(c => c.Path[(c.Path.LastIndexOf(' ') + 1)..])
            .Concat(command.Arguments.SelectMany(a => a.Words ?? []))
            .Concat(command.Options.Select(o => o.Name))
            .Append("--help")
            .Concat(command.Arguments.Where(a => a.Shell is not null).Select(a => $"$({a.Shell})").Distinct());
}
