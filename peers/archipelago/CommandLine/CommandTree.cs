using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using Archipelago.Cli.Daemon;
using Archipelago.Runtime;
using Archipelago.Runtime.Configuration;
using Archipelago.Xseg;

namespace Archipelago.Cli.CommandLine;

/// <summary>Makes the parser from the table of commands, and runs the command that was given.</summary>
internal sealed class CommandTree
{
    private readonly IReadOnlyList<CliCommand> _table;
    private readonly RootCommand _root;

    internal CommandTree(IReadOnlyList<CliCommand> table)
    {
        _table = table;
        var top = table[0];
        _root = new RootCommand(top.Summary);
        // The page and the command `version` take the place of the parser's own.
        _root.Options.Clear();
        _root.Options.Add(Help(top));
        foreach (var entry in table.Skip(1)) Add(entry);
    }

    internal async Task<int> RunAsync(string[] arguments)
    {
        var parsed = _root.Parse(arguments, new ParserConfiguration { EnablePosixBundling = false, ResponseFileTokenReplacer = null });
        if (parsed.Action is PageAction page) return page.Invoke(parsed);
        if (parsed.Errors.Count > 0 || parsed.Action is null)
        {
            string path = Words(parsed.CommandResult.Command);
            if (parsed.CommandResult.Command.Subcommands.Count > 0) Invocation.Note("archipelago: " + NoCommand(parsed, path));
            else
                foreach (var error in parsed.Errors) Invocation.Note("archipelago: " + error.Message);
            Invocation.Note($"Try 'archipelago {(path + " --help").TrimStart()}'.");
            return ExitCode.Usage;
        }

        return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
    }

    private void Add(CliCommand entry)
    {
        string[] words = entry.Path.Split(' ');
        Command parent = _root;
        foreach (string word in words[..^1]) parent = parent.Subcommands.First(c => c.Name == word);
        var command = new Command(words[^1], entry.Summary);
        foreach (var argument in entry.Arguments) command.Add(Make(argument));
        foreach (var option in entry.Options) command.Add(Make(option));
        command.Options.Add(Help(entry));
        if (entry.Run is { } run) command.SetAction((parsed, cancel) => GuardAsync(run, new Invocation(entry, parsed), cancel));
        parent.Add(command);
    }

    private static async Task<int> GuardAsync(Func<Invocation, CancellationToken, Task<int>> run, Invocation invocation, CancellationToken cancel)
    {
        try
        {
            return await run(invocation, cancel);
        }
        catch (UsageException e)
        {
            Invocation.Note($"archipelago: {e.Message}");
            Invocation.Note($"Try 'archipelago {invocation.Command.Path} --help'.");
            return ExitCode.Usage;
        }
        catch (ConfigException e)
        {
            foreach (var error in e.Errors) Invocation.Note($"archipelago: EINVAL: {error}");
            return ExitCode.Usage;
        }
        catch (ErrnoException e)
        {
            Invocation.Note($"archipelago: {e.Symbol}: {e.Message}");
        }
        catch (XsegException e)
        {
            Invocation.Note($"archipelago: {Errno.Name(e.Errno)}: {e.Message}");
        }
        catch (OperationCanceledException)
        {
            // By the token of a command that hears signals itself, too: limits of time have become ETIMEDOUT before they come here.
            Invocation.Note("archipelago: ECANCELED: interrupted");
        }
        catch (Exception e) when (FileFault.Is(e))
        {
            Invocation.Note($"archipelago: {Errno.Name(FileFault.ErrnoOf(e))}: {e.Message}");
        }

        return ExitCode.Failed;
    }

    private static Argument Make(CliArgument argument)
    {
        if (argument.Repeats)
            return new Argument<string[]>(argument.Name) { Arity = argument.Minimum == 0 ? ArgumentArity.ZeroOrMore : ArgumentArity.OneOrMore };
        return new Argument<string?>(argument.Name) { Arity = argument.Minimum == 0 ? ArgumentArity.ZeroOrOne : ArgumentArity.ExactlyOne };
    }

    private static System.CommandLine.Option Make(CliOption option) => option switch
    {
        { Value: null } => new Option<bool>(option.Name) { Arity = ArgumentArity.Zero },
        { Repeats: true } => new Option<string[]>(option.Name) { Arity = ArgumentArity.OneOrMore, AllowMultipleArgumentsPerToken = false },
        _ => new Option<string?>(option.Name) { Arity = ArgumentArity.ExactlyOne },
    };

    private HelpOption Help(CliCommand entry) => new("--help", "-h") { Action = new PageAction(() => HelpPage.Render(entry, _table)) };

    /// <summary>What to say where the name of a command is missing or wrong.</summary>
    private static string NoCommand(ParseResult parsed, string path)
    {
        string[] known = [.. parsed.CommandResult.Command.Subcommands.Select(c => c.Name)];
        if (parsed.UnmatchedTokens.Count == 0) return $"{(path.Length == 0 ? "a command is missing" : $"'{path}' needs a command")}: {string.Join(", ", known)}";
        string given = parsed.UnmatchedTokens[0];
        return given.StartsWith('-') ? $"{given}: options come after the command: {string.Join(", ", known)}"
            : $"there is no command '{$"{path} {given}".TrimStart()}': known are {string.Join(", ", known)}";
    }

    private static string Words(Command command)
    {
        var words = new Stack<string>();
        for (Symbol? at = command; at is Command and not RootCommand; at = at.Parents.FirstOrDefault()) words.Push(at.Name);
        return string.Join(' ', words);
    }

    private sealed class PageAction(Func<string> page) : SynchronousCommandLineAction
    {
        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            Console.Out.Write(page());
            return ExitCode.Ok;
        }
    }
}
