# bash completion for archipelago, made by `archipelago completion bash`. Source it, or put it into
# /usr/share/bash-completion/completions/archipelago.
_archipelago() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} path= words= i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$path ${COMP_WORDS[i]}" in
            " up") path=" up" ;;
            " run") path=" run" ;;
            " down") path=" down" ;;
            " status") path=" status" ;;
            " volume") path=" volume" ;;
            " volume create") path=" volume create" ;;
            " volume list") path=" volume list" ;;
            " volume info") path=" volume info" ;;
            " volume resize") path=" volume resize" ;;
            " volume delete") path=" volume delete" ;;
            " cache") path=" cache" ;;
            " cache stats") path=" cache stats" ;;
            " cache flush") path=" cache flush" ;;
            " cache policy") path=" cache policy" ;;
            " segment") path=" segment" ;;
            " segment info") path=" segment info" ;;
            " segment ports") path=" segment ports" ;;
            " segment requests") path=" segment requests" ;;
            " segment fsck") path=" segment fsck" ;;
            " segment destroy") path=" segment destroy" ;;
            " bench") path=" bench" ;;
            " config") path=" config" ;;
            " config example") path=" config example" ;;
            " config check") path=" config check" ;;
            " completion") path=" completion" ;;
            " completion bash") path=" completion bash" ;;
            " version") path=" version" ;;
        esac
    done
    case "$path $previous" in
        " up --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " up --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " up --set") COMPREPLY=(); return ;;
        " run --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " run --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " run --set") COMPREPLY=(); return ;;
        " down --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " down --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " down --timeout") COMPREPLY=(); return ;;
        " status --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " status --segment") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume create --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume create --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume create --object-size") COMPREPLY=(); return ;;
        " volume list --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume list --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume info --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume info --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume resize --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume resize --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " volume delete --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " volume delete --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " cache stats --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " cache stats --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " cache flush --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " cache flush --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " cache policy --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " cache policy --socket") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " cache policy --safe-until-flush") COMPREPLY=($(compgen -W "yes no" -- "$word")); return ;;
        " segment info --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment info --segment") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment ports --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment ports --segment") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment requests --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment requests --segment") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment fsck --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment fsck --segment") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment destroy --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " segment destroy --segment") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " bench --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " bench --segment") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " bench --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " bench --set") COMPREPLY=(); return ;;
        " bench --in-process") COMPREPLY=(); return ;;
        " bench --op") COMPREPLY=($(compgen -W "ping read write mixed copy" -- "$word")); return ;;
        " bench --read-ratio") COMPREPLY=(); return ;;
        " bench --pattern") COMPREPLY=($(compgen -W "seq rand zipf" -- "$word")); return ;;
        " bench --theta") COMPREPLY=(); return ;;
        " bench --block-size") COMPREPLY=(); return ;;
        " bench --depth") COMPREPLY=(); return ;;
        " bench --total") COMPREPLY=(); return ;;
        " bench --seconds") COMPREPLY=(); return ;;
        " bench --warm-up") COMPREPLY=(); return ;;
        " bench --objects") COMPREPLY=(); return ;;
        " bench --object-size") COMPREPLY=(); return ;;
        " bench --prefix") COMPREPLY=(); return ;;
        " bench --volume") COMPREPLY=($(compgen -W "$(timeout 2 archipelago volume list 2>/dev/null | awk 'NR > 1 { print $1 }')" -- "$word")); return ;;
        " bench --route") COMPREPLY=(); return ;;
        " bench --flow") COMPREPLY=(); return ;;
        " bench --verify") COMPREPLY=($(compgen -W "none meta full" -- "$word")); return ;;
        " bench --generation") COMPREPLY=(); return ;;
        " bench --seed") COMPREPLY=(); return ;;
        " bench --core") COMPREPLY=(); return ;;
        " bench --spin") COMPREPLY=(); return ;;
        " bench --timeout") COMPREPLY=(); return ;;
        " config check --state") COMPREPLY=($(compgen -d -- "$word")); return ;;
        " config check --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        " config check --set") COMPREPLY=(); return ;;
    esac
    case "$path" in
        "") words="up run down status volume cache segment bench config completion version --help" ;;
        " up") words="--state --config --set --detach --json --help" ;;
        " run") words="memd filed radosd cached vlmcd nbd --state --config --set --help" ;;
        " down") words="--state --socket --json --keep-segment --discard-dirty --timeout --help" ;;
        " status") words="--state --segment --json --help" ;;
        " volume") words="create list info resize delete --help" ;;
        " volume create") words="--state --socket --json --object-size --help" ;;
        " volume list") words="--state --socket --json --help" ;;
        " volume info") words="--state --socket --json --help $(timeout 2 archipelago volume list 2>/dev/null | awk 'NR > 1 { print $1 }')" ;;
        " volume resize") words="--state --socket --json --shrink --help $(timeout 2 archipelago volume list 2>/dev/null | awk 'NR > 1 { print $1 }')" ;;
        " volume delete") words="--state --socket --json --force --help $(timeout 2 archipelago volume list 2>/dev/null | awk 'NR > 1 { print $1 }')" ;;
        " cache") words="stats flush policy --help" ;;
        " cache stats") words="--state --socket --json --help" ;;
        " cache flush") words="--state --socket --json --help $(timeout 2 archipelago volume list 2>/dev/null | awk 'NR > 1 { print $1 }')" ;;
        " cache policy") words="default writeback writethrough off --state --socket --json --safe-until-flush --help $(timeout 2 archipelago volume list 2>/dev/null | awk 'NR > 1 { print $1 }')" ;;
        " segment") words="info ports requests fsck destroy --help" ;;
        " segment info") words="--state --segment --json --help" ;;
        " segment ports") words="--state --segment --json --help" ;;
        " segment requests") words="--state --segment --json --help" ;;
        " segment fsck") words="--state --segment --json --repair --discard-dirty --clear-deaths --help" ;;
        " segment destroy") words="--state --segment --json --discard-dirty --help" ;;
        " bench") words="--state --segment --config --set --in-process --op --read-ratio --pattern --theta --block-size --depth --total --seconds --warm-up --objects --object-size --prefix --keep --volume --overwrite-data --route --flow --verify --generation --copy-out --no-flush --full-latency --assert-no-alloc --seed --core --spin --timeout --quiet --json --help" ;;
        " config") words="example check --help" ;;
        " config example") words="--json --help" ;;
        " config check") words="--state --config --set --json --help" ;;
        " completion") words="bash --help" ;;
        " completion bash") words="--help" ;;
        " version") words="--json --help" ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -F _archipelago archipelago
