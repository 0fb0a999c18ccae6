# bash completion for riverbox and its hakuriver.* names.
# Install as <prefix>/share/bash-completion/completions/riverbox, or: source <(riverbox completion bash)
#
# All knowledge is in the program: `riverbox __complete APPLET WORDS...` prints one candidate per line, live names included.

_riverbox() {
    local words cword current program reply
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n =: -w words -i cword 2>/dev/null
    else
        words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
    fi
    current=${words[cword]}
    program=${words[0]##*/}
    local arguments=("${words[@]:1:cword}")
    # hakuriver.docker is riverbox docker
    case $program in
        hakuriver.*|kohakuriver.*) arguments=("${program#*.}" "${arguments[@]}") ;;
    esac
    # the riverbox beside the name that was typed, else the one in PATH
    local binary=riverbox
    [[ ${words[0]} == */* && -x ${words[0]%/*}/riverbox ]] && binary=${words[0]%/*}/riverbox
    mapfile -t COMPREPLY < <("$binary" __complete "${arguments[@]}" 2>/dev/null)
    if ((${#COMPREPLY[@]} == 0)); then
        compopt -o default 2>/dev/null   # files
        return 0
    fi
    # readline breaks words at ':' and '='; what it has already is taken off the front
    if [[ $current == *[:=]* ]]; then
        local kept=${current%"${current##*[:=]}"}
        COMPREPLY=("${COMPREPLY[@]#"$kept"}")
    fi
    for reply in "${COMPREPLY[@]}"; do
        [[ $reply == *= ]] && compopt -o nospace 2>/dev/null
    done
    return 0
}

complete -F _riverbox riverbox hakuriver.docker hakuriver.docker-shell hakuriver.host hakuriver.runner hakuriver.client hakuriver.task hakuriver.vps
